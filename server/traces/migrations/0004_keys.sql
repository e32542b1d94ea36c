-- Keys of users. A key is never deleted and never becomes valid again, so that servers can bring
-- together what they know in any order. digest: SHA-256 of the secret, which is kept nowhere.

create table keys (
    id text primary key,
    owner text not null,
    scopes text[] not null,
    digest text not null unique,
    created_at timestamptz not null,
    revoked_at timestamptz
);
