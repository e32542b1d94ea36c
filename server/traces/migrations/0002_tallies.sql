-- Statistics by the hour, counted as traces are stored, so that asking does not read traces.
-- Histograms have a bucket for each quarter of an octave (server/traces/tallies.py).

create function add_arrays(a bigint[], b bigint[]) returns bigint[]
language sql immutable strict parallel safe
return (
    select array_agg(coalesce(x, 0) + coalesce(y, 0) order by place)
    from unnest(a, b) with ordinality as pairs (x, y, place)
);

create aggregate sum_arrays(bigint[]) (sfunc = add_arrays, stype = bigint[]);

create table request_hours (
    hour timestamptz not null,
    caller text not null,
    model text not null,
    status text not null,
    requests bigint not null,
    sampled_tokens bigint not null,
    forced_tokens bigint not null,
    erased_tokens bigint not null,
    latencies bigint[] not null,                -- histogram, from a millisecond
    primary key (hour, caller, model, status)
);

create table mod_hours (
    hour timestamptz not null,
    caller text not null,
    mod text not null,
    requests bigint not null,
    calls bigint not null,
    failures bigint not null,
    forced_tokens bigint not null,
    erased_tokens bigint not null,
    durations bigint[] not null,                -- histogram, from a microsecond
    primary key (hour, caller, mod)
);

create table action_hours (
    hour timestamptz not null,
    caller text not null,
    mod text not null,
    action text not null,
    taken bigint not null,
    overridden bigint not null,
    primary key (hour, caller, mod, action)
);
