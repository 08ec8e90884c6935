"""Every setting: what it means, where its value comes from, and whether this machine has what it
names."""
