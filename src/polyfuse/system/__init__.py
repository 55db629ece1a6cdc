"""What polyfuse asks of the machine and of the process: devices, signals, messages, the cache's place, lazy imports."""
