#!lua flags=allow-oom
-- Makes room, so it runs also when there is none left.
