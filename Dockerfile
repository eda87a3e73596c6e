# docker build --tag archsearch .
# docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/outputs:/srv/outputs" archsearch run block=dilated
FROM python:3.13-slim-trixie

# Where torch comes from besides pip's own index. By default that is pip's build for Linux: on x86 it has CUDA, needs
# about 6 GB and works on a CPU, too. For an image of 2 GB that works on a CPU alone give the address of PyTorch's CPU
# builds, which pytorch.org names: --build-arg TORCH_INDEX=ADDRESS
ARG TORCH_INDEX=

# The kernels for a CPU are compiled where they are first used. Any version of the compiler will do.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*

# torch before the project, so that a change of the project does not install it again.
RUN PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir "torch>=2.11,<2.16" "torchvision>=0.26,<0.30"

COPY pyproject.toml README.md LICENSE /opt/archsearch/
COPY archsearch /opt/archsearch/archsearch
COPY conf /opt/archsearch/conf
COPY hydra_plugins /opt/archsearch/hydra_plugins
RUN pip install --no-cache-dir "/opt/archsearch[export,postgres]"

# Without root. Another user (--user) has neither a home nor a name, so caches go to a folder that every user can write.
RUN useradd --create-home --uid 1000 archsearch \
 && install --directory --owner archsearch --mode 1777 /srv /srv/outputs /srv/data
ENV HOME=/tmp \
    LOGNAME=archsearch \
    PYTHONUNBUFFERED=1
USER 1000
WORKDIR /srv

ENTRYPOINT ["archsearch"]
CMD ["run"]
