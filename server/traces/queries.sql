-- alive --
select 1

-- claim_ids --
-- Of these ids, those that no trace has yet; they have one from here on.
insert into trace_ids (request_id, created_at)
select * from unnest($1::text[], $2::timestamptz[])
on conflict do nothing
returning request_id

-- day_of --
select created_at from trace_ids where request_id = $1

-- caller_of --
select caller from traces where created_at = $1 and request_id = $2

-- read_trace --
select * from traces where created_at = $1 and request_id = $2

-- read_actions --
select * from actions where created_at = $1 and request_id = $2 order by number

-- read_logs --
select * from mod_logs where created_at = $1 and request_id = $2 order by number

-- read_failures --
select * from mod_failures where created_at = $1 and request_id = $2 order by number

-- delete_trace --
-- A trace in all tables; notes go with its id.
with
    rows as (delete from traces where created_at = $1 and request_id = $2),
    acts as (delete from actions where created_at = $1 and request_id = $2),
    logs as (delete from mod_logs where created_at = $1 and request_id = $2),
    failures as (delete from mod_failures where created_at = $1 and request_id = $2)
delete from trace_ids where request_id = $2

-- make_days --
select make_day(day) from unnest($1::date[]) as day

-- days_before --
-- Days before this one that have partitions.
select distinct to_date(right(child.relname, 8), 'YYYYMMDD') as day
from pg_inherits
join pg_class child on child.oid = inhrelid
where inhparent = any (array['traces', 'actions', 'mod_logs', 'mod_failures']::regclass[])
    and child.relname ~ '_\d{8}$'
    and right(child.relname, 8) < to_char($1::date, 'YYYYMMDD')
order by day

-- drop_days --
select drop_days_before($1)

-- list_traces --
-- A page of traces. Every filter that is null is left out of the plan, which is made anew each
-- time with the values at hand. The parts in braces are the sort's. Texts are long and lie apart:
-- they are shortened outside, for the page alone, not for all that is sorted. Words lie apart, too:
-- a row that is looked at in vain costs more than Postgres thinks, and of a phrase it thinks there
-- is one where all of its words are. So where words are asked for, two conditions follow that
-- always hold. Postgres expects a third of the rows to meet each, and takes the index of words
-- sooner.
select
    request_id, created_at, completed_at, latency, time_to_first_token, model, endpoint, caller,
    status, finish_reason, level, parent_id, mods, actions, tags,
    favourites @> array[$17::text] as favourite,
    prompt_tokens, output_tokens, sampled_tokens, forced_tokens, erased_tokens,
    left(prompt, 200) as prompt, left(output, 200) as output
from (
    select * from traces
    where ($1::timestamptz is null or created_at >= $1)
        and ($2::timestamptz is null or created_at < $2)
        and ($3::text is null or model = $3)
        and ($4::text is null or mods @> array[$4::text])
        and ($5::text is null or actions @> array[$5::text])
        and ($6::text is null or status = $6)
        and ($7::text is null or caller = $7)
        and ($8::text is null or tags @> array[$8::text])
        and ($9::text is null or favourites @> array[$9::text])
        and ($10::text is null or search @@ websearch_to_tsquery('simple', $10))
        and ($10::text is null or (length(model) >= 0 and length(caller) >= 0))
        and ($11::float8 is null or latency >= $11)
        and ($12::float8 is null or latency <= $12)
        and ($13::int is null or output_tokens >= $13)
        and ($14::int is null or output_tokens <= $14)
        and ($15::text is null or (parent_id = $15 and parent_id <> ''))
        and ($18::{type} is null or {key} {bound} $18)
        and ($18::{type} is null or ({key}, request_id) {beyond} ($18, $19::text))
    order by {key} {direction}, request_id {direction}
    limit $16
) as page
order by {key} {direction}, request_id {direction}

-- oldest_trace --
select created_at from traces order by created_at limit 1

-- add_tags --
update traces set tags = array(select distinct unnest(tags || $3::text[]) order by 1)
where created_at = $1 and request_id = $2
returning tags

-- remove_tags --
update traces set tags = array(select unnest(tags) except select unnest($3::text[]) order by 1)
where created_at = $1 and request_id = $2
returning tags

-- add_favourite --
update traces set favourites = array_append(favourites, $3)
where created_at = $1 and request_id = $2 and not favourites @> array[$3::text]

-- remove_favourite --
update traces set favourites = array_remove(favourites, $3)
where created_at = $1 and request_id = $2

-- add_note --
insert into notes (request_id, step, caller, text) values ($1, $2, $3, $4)
returning id, request_id, step, caller, text, created_at

-- read_notes --
select id, request_id, step, caller, text, created_at
from notes where request_id = $1 order by id

-- delete_note --
delete from notes where request_id = $1 and id = $2 and ($3::text is null or caller = $3)
returning id

-- tally_requests --
insert into request_hours as old values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (hour, caller, model, status) do update set
    requests = old.requests + excluded.requests,
    sampled_tokens = old.sampled_tokens + excluded.sampled_tokens,
    forced_tokens = old.forced_tokens + excluded.forced_tokens,
    erased_tokens = old.erased_tokens + excluded.erased_tokens,
    latencies = add_arrays(old.latencies, excluded.latencies)

-- tally_mods --
insert into mod_hours as old values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (hour, caller, mod) do update set
    requests = old.requests + excluded.requests,
    calls = old.calls + excluded.calls,
    failures = old.failures + excluded.failures,
    forced_tokens = old.forced_tokens + excluded.forced_tokens,
    erased_tokens = old.erased_tokens + excluded.erased_tokens,
    durations = add_arrays(old.durations, excluded.durations)

-- tally_actions --
insert into action_hours as old values ($1, $2, $3, $4, $5, $6)
on conflict (hour, caller, mod, action) do update set
    taken = old.taken + excluded.taken,
    overridden = old.overridden + excluded.overridden

-- drop_hours --
with
    requests as (delete from request_hours where hour < $1),
    actions as (delete from action_hours where hour < $1)
delete from mod_hours where hour < $1

-- mod_statistics --
select
    mod,
    sum(requests)::bigint as requests,
    sum(calls)::bigint as calls,
    sum(failures)::bigint as failures,
    sum(forced_tokens)::bigint as forced_tokens,
    sum(erased_tokens)::bigint as erased_tokens,
    sum_arrays(durations) as durations
from mod_hours
where hour >= $1 and hour < $2 and ($3::text is null or caller = $3)
group by mod
order by mod

-- action_statistics --
select mod, action, sum(taken)::bigint as taken, sum(overridden)::bigint as overridden
from action_hours
where hour >= $1 and hour < $2 and ($3::text is null or caller = $3)
group by mod, action
order by mod, action

-- request_statistics --
-- For each span of time: how many requests, how they ended, how long they took.
select
    date_bin($4::interval, hour, $1) as start,
    sum(requests)::bigint as requests,
    coalesce(sum(requests) filter (where status = 'failed'), 0)::bigint as failed,
    coalesce(sum(requests) filter (where status = 'aborted'), 0)::bigint as aborted,
    sum(sampled_tokens)::bigint as sampled_tokens,
    sum(forced_tokens)::bigint as forced_tokens,
    sum(erased_tokens)::bigint as erased_tokens,
    sum_arrays(latencies) as latencies
from request_hours
where hour >= $1 and hour < $2
    and ($3::text is null or caller = $3)
    and ($5::text is null or model = $5)
group by start
order by start

-- keep_mod --
insert into registered_mods (owner, name, package) values ($1, $2, $3)
on conflict (owner, name) do update set package = excluded.package, registered_at = now()

-- forget_mod --
delete from registered_mods where owner = $1 and name = $2

-- all_mods --
select owner, name, package, registered_at from registered_mods order by owner, name

-- keep_shared_module --
insert into shared_modules (owner, path, source) values ($1, $2, $3)
on conflict (owner, path) do update set source = excluded.source

-- all_shared_modules --
select owner, path, source from shared_modules order by owner, path

-- all_keys --
select id, owner, scopes, digest, created_at, revoked_at from keys

-- keep_key --
insert into keys (id, owner, scopes, digest, created_at, revoked_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (id) do update set revoked_at = coalesce(keys.revoked_at, excluded.revoked_at)
