"""How the index that is served changes: followed, activated, rebuilt, edited."""
