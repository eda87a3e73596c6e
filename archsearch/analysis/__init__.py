"""What a plan costs, sees and keeps: pure arithmetic over the plan, without torch."""
