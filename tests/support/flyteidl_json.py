"""Reads a message with flyteidl's own classes and writes protobuf's JSON form of it: MODULE MESSAGE FILE."""

import importlib
import json
import sys

from google.protobuf.json_format import MessageToDict

module, message, path = sys.argv[1:]
parsed = getattr(importlib.import_module(f"flyteidl.core.{module}"), message)()
with open(path, "rb") as file:
    parsed.ParseFromString(file.read())
# Fields that flyteidl does not know would be kept silently; there must be none.
parsed_again = type(parsed)()
parsed_again.CopyFrom(parsed)
parsed_again.DiscardUnknownFields()
assert parsed_again.ByteSize() == parsed.ByteSize(), "unknown fields"
json.dump(MessageToDict(parsed, preserving_proto_field_name=True), sys.stdout, indent=1, sort_keys=True)
