"""Training: from recordings and what people marked in them to a detector, on the features of one that exists."""
