# python -m archsearch.show module=examples/model.py:Net
import torch.nn as nn
import torch.nn.functional as F


def block(inputs, outputs, **options):
    conv = nn.Conv2d(inputs, outputs, 3, bias=False, **options)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(outputs), nn.Dropout(0.05))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block1 = nn.Sequential(block(3, 32, padding=1), block(32, 32, padding=1), block(32, 32, padding=1))
        self.down1 = block(32, 48, padding=1, stride=2)
        self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False)
        self.pointwise = nn.Conv2d(48, 64, 1)
        self.dilated = block(64, 64, padding=2, dilation=2)
        self.down2 = block(64, 64, padding=1, stride=2)
        self.last = block(64, 64, padding=1)
        self.gap = nn.AvgPool2d(8)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.down1(self.block1(x))
        x = self.dilated(F.relu(self.pointwise(self.depthwise(x))))
        x = self.gap(self.last(self.down2(x))).view(x.size(0), -1)
        return F.log_softmax(self.fc(x), dim=1)
