"""What a process may still do once it has confined itself, before it reads its first untrusted byte."""
