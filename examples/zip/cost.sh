#!/bin/sh
# Two outputs, so each goes to a file of its name in the output directory. The inputs are read the same way.
set -eu
quantity=$(cat "$BATCHMAP_INPUT_DIR/quantity")
price=$(cat "$BATCHMAP_INPUT_DIR/price")
shipping=$(cat "$BATCHMAP_INPUT_DIR/shipping")
awk -v q="$quantity" -v p="$price" -v s="$shipping" 'BEGIN { print q * p + s }' > "$BATCHMAP_OUTPUT_DIR/cost"
echo "$quantity at $price" > "$BATCHMAP_OUTPUT_DIR/label"
