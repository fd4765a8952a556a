"""Parts that methods, metrics and attacks share: training loops, noise, generators, attention, shadow runs."""
