"""The same work done by other libraries, as their own documentation has it done."""
