#!/bin/sh
# Is the data point above the threshold? Its only output, a boolean, goes to standard output.
if [ "$1" -gt "$2" ]; then echo true; else echo false; fi
