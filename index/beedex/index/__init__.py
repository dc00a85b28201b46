"""Photos, galleries, embedders, snapshots and the family decision: everything but the network and the training."""
