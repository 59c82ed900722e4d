"""Detection in many images by many workers: a plan of shards, and Ray that runs them."""
