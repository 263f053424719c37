#!/bin/sh
# Counts one text: prints lines, words and the longest word as a JSON object.
set -eu
awk '
  { words += NF; for (i = 1; i <= NF; i++) { word = tolower($i); gsub(/[^a-z-]/, "", word); if (length(word) > length(longest)) longest = word } }
  END { printf "{\"lines\": %d, \"words\": %d, \"longest\": \"%s\"}\n", NR, words, longest }
' "$1"
