"""Transfer learning from simulated sites to towers: settings, domains, network, training and skill."""
