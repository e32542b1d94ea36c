-- Traces, by day. What is searched stands in columns, the per-token story in arrays, and the rest
-- of the request, exactly as it was told, in `request`.

-- One row for each trace that is stored: what makes a request id unique over all days, and leads
-- to its day. What people add to a trace hangs on it, and goes with it.
create table trace_ids (
    request_id text primary key,
    created_at timestamptz not null
);
create index trace_ids_by_time on trace_ids using brin (created_at);

create table traces (
    request_id text not null,
    created_at timestamptz not null,
    completed_at timestamptz,
    latency double precision not null,          -- seconds; 0 where it is not known
    time_to_first_token double precision,       -- seconds
    model text not null,
    endpoint text not null,
    caller text not null,
    status text not null,                       -- done, failed, aborted
    finish_reason text not null,
    level text not null,                        -- tokens, full
    parent_id text not null,                    -- the trace that this one replays
    mods text[] not null,                       -- names, in the order of the chain
    actions text[] not null,                    -- kinds of action that had an effect
    tags text[] not null default '{}',
    favourites text[] not null default '{}',    -- callers
    prompt_tokens integer not null,
    output_tokens integer not null,             -- sampled_tokens + forced_tokens
    sampled_tokens integer not null,
    forced_tokens integer not null,
    erased_tokens integer not null,
    prompt text not null,
    output text not null,
    search tsvector not null generated always as (
        to_tsvector('simple'::regconfig, left(prompt, 50000) || ' ' || left(output, 50000))
    ) stored,

    -- The story: an item for each token that was drawn or put in (server/traces/story.py).
    token_ids integer[] not null,
    origins smallint[] not null,
    token_mods smallint[] not null,
    rounds integer[] not null,
    times bigint[] not null,                    -- microseconds since created_at
    probabilities double precision[] not null,
    erased_by integer[] not null,               -- number of the event, -1: it stayed
    forward_passes integer not null,
    entropies double precision[] not null,
    top_counts smallint[] not null,             -- for each token, how many of the next two are its
    top_tokens integer[] not null,
    top_probabilities double precision[] not null,

    -- Calls of handlers.
    call_events integer[] not null,
    call_mods smallint[] not null,
    call_micros bigint[] not null,

    version smallint not null,
    prompt_token_ids integer[] not null,
    final_token_ids integer[],                  -- null: the story's tokens that stayed
    request json not null,                      -- without what the columns hold
    events json,                                -- null: they follow from the story
    primary key (created_at, request_id)
) partition by range (created_at);

create index traces_by_model on traces (model, created_at, request_id);
create index traces_by_caller on traces (caller, created_at, request_id);
create index traces_by_status on traces (status, created_at, request_id) where status <> 'done';
create index traces_by_parent on traces (parent_id) where parent_id <> '';
create index traces_by_latency on traces (latency, request_id);
create index traces_by_tokens on traces (output_tokens, request_id);
create index traces_by_labels on traces using gin (mods, actions, tags, favourites);
create index traces_by_text on traces using gin (search);

create table actions (
    created_at timestamptz not null,            -- the trace's, so that both lie in one day
    request_id text not null,
    number integer not null,                    -- its place in the trace
    call integer,
    mod text not null,
    action text not null,
    event text,
    step integer,
    position integer,
    tokens integer[] not null,
    before integer[] not null,
    backtrack_steps integer,
    overridden boolean not null,
    details json not null,
    primary key (created_at, request_id, number)
) partition by range (created_at);
create index actions_by_mod on actions (mod, action, created_at);

create table mod_logs (
    created_at timestamptz not null,
    request_id text not null,
    number integer not null,
    call integer,
    mod text not null,
    level text not null,
    message text not null,
    primary key (created_at, request_id, number)
) partition by range (created_at);
create index mod_logs_by_mod on mod_logs (mod, created_at);

create table mod_failures (
    created_at timestamptz not null,
    request_id text not null,
    number integer not null,
    call integer not null,
    mod text not null,
    type text not null,
    message text not null,
    traceback text not null,
    primary key (created_at, request_id, number)
) partition by range (created_at);
create index mod_failures_by_mod on mod_failures (mod, created_at);

-- What lies too far in the past for a partition of its own.
create table traces_default partition of traces default;
create table actions_default partition of actions default;
create table mod_logs_default partition of mod_logs default;
create table mod_failures_default partition of mod_failures default;

create table notes (
    id bigint generated always as identity primary key,
    request_id text not null references trace_ids on delete cascade,
    step integer,                               -- the round that it is about; null: all of it
    caller text not null,
    text text not null,
    created_at timestamptz not null default now()
);
create index notes_by_trace on notes (request_id);

-- Makes the partitions of one day (UTC). A day that has rows in the default ones already stays
-- there: a clock that was wrong must not stop the writing.
create function make_day(day date) returns void language plpgsql as $$
declare
    parent text;
    part text;
begin
    perform pg_advisory_xact_lock(hashtext('concordance.days'));
    foreach parent in array array['traces', 'actions', 'mod_logs', 'mod_failures'] loop
        part := parent || to_char(day, '_YYYYMMDD');
        if to_regclass(part) is not null then
            continue;
        end if;
        begin
            execute format(
                'create table %I partition of %I for values from (%L) to (%L)',
                part, parent, day::timestamp at time zone 'UTC',
                (day + 1)::timestamp at time zone 'UTC'
            );
            -- Rows that are listed stay narrow; what belongs to one trace lies apart.
            execute format('alter table %I set (toast_tuple_target = 512)', part);
        exception when check_violation then
            raise notice 'the rows of % are in %_default already', day, parent;
        end;
    end loop;
end
$$;

-- Drops whole days before this one, and what little of them lies elsewhere.
create function drop_days_before(first date) returns integer language plpgsql as $$
declare
    parent text;
    part text;
    dropped integer := 0;
    cutoff timestamptz := first::timestamp at time zone 'UTC';
begin
    perform pg_advisory_xact_lock(hashtext('concordance.days'));
    foreach parent in array array['traces', 'actions', 'mod_logs', 'mod_failures'] loop
        for part in
            select child.relname
            from pg_inherits
            join pg_class child on child.oid = inhrelid
            where inhparent = parent::regclass
                and child.relname ~ ('^' || parent || '_\d{8}$')
                and to_date(right(child.relname, 8), 'YYYYMMDD') < first
        loop
            execute format('drop table %I', part);
            dropped := dropped + 1;
        end loop;
        execute format('delete from %I where created_at < $1', parent || '_default') using cutoff;
    end loop;
    delete from trace_ids where created_at < cutoff;
    return dropped;
end
$$;
