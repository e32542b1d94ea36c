-- Mods and helper modules that callers registered: they outlive the server's process.

create table registered_mods (
    owner text not null,
    name text not null,
    package json not null,
    registered_at timestamptz not null default now(),
    primary key (owner, name)
);

create table shared_modules (
    owner text not null,
    path text not null,
    source text not null,
    primary key (owner, path)
);
