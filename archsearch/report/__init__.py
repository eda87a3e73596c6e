"""What is shown to people: tables and pictures of designs, curves of trainings."""
