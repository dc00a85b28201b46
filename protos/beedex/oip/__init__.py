"""The Open Inference Protocol, version 2: messages and stubs generated from the .proto file beside this one."""
