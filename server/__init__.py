"""The process that people start: HTTP, sessions, traces, models. Assembles the other folders."""
