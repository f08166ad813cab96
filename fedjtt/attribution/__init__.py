"""What each training example does to a model's outputs on others: TRAK (Park et al. 2023), by parts."""
