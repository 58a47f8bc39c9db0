"""What every script needs: settings, command line, errors, atomic outputs, threads, run statistics."""
