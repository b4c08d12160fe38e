"""Every row of the report with its threshold, by group. Plots are drawn of the rows that a group names in `PLOTS`."""

from collections.abc import Mapping, Sequence

from monitoring.service_levels import BY_NAME
from script.lib.measurements import Threshold
from tests.load.levels import MEASURED

PEERS = ("slotline", "reports_broad", "reports_smart", "direct")
SCENARIOS = ("cold", "normal", "burst", "queue", "contention", "outage")


def _of_every_scenario(name: str) -> dict[str, Threshold]:
    return {
        f"{name}_most_in_60_s": Threshold("requests", 120),
        f"{name}_429": Threshold("answers", 0),
        f"{name}_overlaps": Threshold("pairs", 0),
        f"{name}_lost": Threshold("wishes", 0),
        f"{name}_failed_answers": Threshold("answers", 0),
    }


def _levels(scenario: str, *, hold: bool = True) -> dict[str, Threshold]:
    """Return the service levels of a scenario, in percent; those that need not `hold` are for comparison."""
    return {
        f"{scenario}_{name}": Threshold("%", 100 * BY_NAME[name].objective if hold else None, at_least=True)
        for name in MEASURED
    }


LOAD: Mapping[str, Mapping[str, Threshold]] = {
    "cold": {
        "cold_requests_per_type": Threshold("requests", 1),
        "cold_hit_rate_after_1_min": Threshold("share", 0.90, at_least=True),
        **_of_every_scenario("cold"),
        **_levels("cold", hold=False),
    },
    "normal": {
        "normal_search_p95_ms": Threshold("ms", 300),
        "normal_hit_rate": Threshold("share", 0.95, at_least=True),
        "normal_requests_per_min": Threshold("requests", 40),
        **_of_every_scenario("normal"),
        **_levels("normal"),
    },
    "burst": {
        "burst_search_p95_ms": Threshold("ms", 500),
        "burst_wrongly_refused": Threshold("refusals", 0),
        **_of_every_scenario("burst"),
        **_levels("burst"),
    },
    "queue": {"queue_80_s": Threshold("s", 0.5), **_of_every_scenario("queue")},
    "contention": {"contention_bookings": Threshold("bookings", 1), **_of_every_scenario("contention")},
    "outage": {
        "outage_late_answers": Threshold("answers", 0),
        "outage_recovery_s": Threshold("s", 60),
        **_of_every_scenario("outage"),
        **_levels("outage", hold=False),
    },
}
"""By load scenario."""

THRESHOLDS: Mapping[str, Mapping[str, Threshold]] = {
    "searching": {
        "cold_100_callers_requests": Threshold("requests", 1),
        "search_14_days_requests_cold": Threshold("requests", 1),
        "search_14_days_requests_warm": Threshold("requests", 0),
    },
    "holding": {"search_p95_ms": Threshold("ms", 25)},
    "adapters": {"adapter_p95_ms": Threshold("ms", 30)},
    "invalidation": {
        "invalidated_days_one_type": Threshold("days", 1),
        "invalidated_days_three_types": Threshold("days", 3),
        "invalidate_p95_ms": Threshold("ms", 2),
    },
    "permits": {"rate_limiter_overhead_ms": Threshold("ms", 0.5)},
    "phrases": {"phrase_p95_ms": Threshold("ms", 3)},
    "webhooks": {"webhook_ack_p95_ms": Threshold("ms", 50)},
    "booking": {
        "waits_caused_by_booking": Threshold("callers", 0),
        "booking_own_p50_ms": Threshold("ms", 30),
        "requests_caused_by_booking": Threshold("requests", 0),
        "requests_caused_by_booking_two_hosts": Threshold("requests", 0),
    },
    "processor": {"cached_cpu_ratio": Threshold("times", 4.2)},
    "throughput": {
        "cached_vs_empty_view_ratio": Threshold("times", 2.5),
        "cached_answers_per_s": Threshold("answers/s", 1000, at_least=True),
    },
    "queues": {"queue_960_s": Threshold("s", 3.0), "queue_vs_noop_ratio": Threshold("times", 2.0)},
    "layers": {
        "layer_stale_reads": Threshold("reads", 0),
        "layer_stale_reads_dogpile": Threshold("reads"),
        "layer_stale_reads_cashews": Threshold("reads"),
        "layer_loads_per_100_misses": Threshold("loads", 1),
        "layer_loads_per_100_misses_dogpile": Threshold("loads"),
        "layer_loads_per_100_misses_cashews": Threshold("loads"),
        "layer_reads_per_s": Threshold("reads/s"),
        "layer_reads_per_s_dogpile": Threshold("reads/s"),
        "layer_reads_per_s_cashews": Threshold("reads/s"),
    },
    "queries": {"hot_query_p95_ms": Threshold("ms", 1)},
    "growth": {
        "growth_cached_answer_ratio": Threshold("times", 1.5),
        "growth_booking_ratio": Threshold("times", 1.5),
        "growth_invalidation_ratio": Threshold("times", 1.5),
        "growth_kb_per_event_type": Threshold("kB", 16),
        "growth_two_processes_ratio": Threshold("times"),
    },
    "admin_pages": {
        "admin_today_ms": Threshold("ms", 100),
        "admin_list_ms": Threshold("ms", 200),
        "admin_search_ms": Threshold("ms", 200),
        "admin_last_page_ms": Threshold("ms", 200),
        "admin_refused_deletion_ms": Threshold("ms", 200),
    },
    "database_outage": {
        "postgres_503_s": Threshold("s", 2),
        "postgres_503_without_retry_after": Threshold("answers", 0),
        "postgres_500s": Threshold("answers", 0),
        "postgres_accepted_lost": Threshold("bookings", 0),
        "postgres_ready_while_away": Threshold("answers", 0),
        "postgres_recovered_s": Threshold("s", 5),
    },
    "deadlines": {
        "deadline_excess_ms": Threshold("ms", 100),
        "deadline_500s": Threshold("answers", 0),
        "deadline_untrue_bookings": Threshold("bookings", 0),
        "deadline_bystanders_hit": Threshold("answers", 0),
        "breakers_left_closed": Threshold("breakers", 0),
        "breaker_probes_at_once": Threshold("requests", 1),
    },
    "fuzzing": {
        "fuzz_500s": Threshold("answers", 0),
        "fuzz_schema_breaks": Threshold("answers", 0),
        "fuzz_foreign_rows": Threshold("answers", 0),
        "guesses_unthrottled": Threshold("guesses", 0),
        "guess_bystanders_refused": Threshold("answers", 0),
        "guess_bystanders_p95_ms": Threshold("ms", 300),
        "keys_in_logs": Threshold("words", 0),
    },
    "held_connections": {
        "held_connections_added_ms": Threshold("ms", 100),
        "held_connections_unanswered": Threshold("answers", 0),
        "unfinished_requests_end_s": Threshold("s", 6),
        "chunked_bodies_answered": Threshold("share", 1, exactly=True),
    },
    "load": {row: threshold for rows in LOAD.values() for row, threshold in rows.items()},
    "metrics_accuracy": {
        "figures_missed_requests": Threshold("requests", 0),
        "figures_missed_answers": Threshold("answers", 0),
        "figures_missed_days": Threshold("days", 0),
        "figures_lost_by_kill": Threshold("counts", 0),
        "figures_in_outage_s": Threshold("s", 2.0),
    },
    "peer_comparison": {
        "reads_vs_reports_system_ratio": Threshold("times", 10, at_least=True),
        "reads_vs_direct_ratio": Threshold("times", 10, at_least=True),
        **{f"peers_reads_{peer}": Threshold("requests") for peer in PEERS},
        **{f"peers_writes_{peer}": Threshold("requests") for peer in PEERS},
        **{f"peers_429_{peer}": Threshold("answers", 0 if peer == "slotline" else None) for peer in PEERS},
        **{f"peers_question_p95_{peer}": Threshold("s") for peer in PEERS},
        **{f"peers_refused_offers_{peer}": Threshold("bookings") for peer in PEERS},
        **{f"peers_keys_cleared_{peer}": Threshold("keys") for peer in ("reports_broad", "reports_smart")},
    },
    "process_kills": {
        "kill9_lost": Threshold("wishes", 0),
        "kill9_double": Threshold("bookings", 0),
        "kill9_settle_s": Threshold("s", 90),
        "kill9_swept_s": Threshold("s", 10),
    },
    "races": {
        "race_bookings": Threshold("bookings", 20, exactly=True),
        "race_overlaps": Threshold("overlaps", 0),
        "race_winners": Threshold("winners", 1, exactly=True),
        "race_losers_p95_ms": Threshold("ms", 100),
        "race_deadlocks": Threshold("deadlocks", 0),
        "overlap_in_flight_max": Threshold("writes", 1),
    },
    "random_sequences": {
        "fault_sequences": Threshold("sequences", 300, at_least=True),
        "fault_mismatches": Threshold("mismatches", 0),
    },
    "rate_limiter": {
        "rate_limiter_max_in_60s": Threshold("requests", 120),
        "rate_limiter_429": Threshold("answers", 0),
        "rate_limiter_writes_refused": Threshold("writes", 0),
        "rate_limiter_foreign_429": Threshold("answers", 0),
        "rate_limiter_chaos_429": Threshold("answers", 0),
        "pause_violations": Threshold("requests", 0),
        "bursts_429": Threshold("answers", 0),
        "limit_usable_percent": Threshold("%", 95, at_least=True),
        "tenant_floor_refused": Threshold("requests", 0),
        "breaker_wrong_pauses": Threshold("pauses", 0),
    },
    "redis_data_loss": {
        "cache_full_queue_lost": Threshold("messages", 0),
        "cache_full_failures": Threshold("answers", 0),
        "flush_loads_at_once": Threshold("loads", 1),
        "redis_lost_rows": Threshold("rows", 0),
        "redis_lost_believed": Threshold("answers", 0),
        "redis_lost_429": Threshold("answers", 0),
        "redis_lost_max_in_60s": Threshold("requests", 120),
    },
    "redis_outage": {
        "redis_refused_added_ms": Threshold("ms", 300),
        "redis_silent_added_ms": Threshold("ms", 300),
        "redis_blackhole_excess_ms": Threshold("ms", 100),
        "redis_blackhole_500s": Threshold("answers", 0),
        "redis_away_excess_ms": Threshold("ms", 100),
        "redis_away_500s": Threshold("answers", 0),
        "redis_away_bookings_lost": Threshold("bookings", 0),
        "redis_away_unready": Threshold("answers", 0),
    },
    "stale_offers": {
        "stale_offers": Threshold("offers", 0),
        "stale_offers_direct": Threshold("offers"),
        "stale_offers_http_cache": Threshold("offers"),
    },
    "truth_rate": {
        "truth_rate": Threshold("%", 99.9, at_least=True),
        "truth_oldest_s": Threshold("s"),
        "truth_rate_webhooks_lost": Threshold("%"),
        "truth_oldest_webhooks_lost_s": Threshold("s", 85),
    },
    "warming_under_load": {
        "warming_p95_ratio": Threshold("times", 1.25),
        "warming_live_refused": Threshold("requests", 0),
    },
    "warming_benefit": {
        "warmed_hit_rate": Threshold("share", 0.90, at_least=True),
        "warming_hit_rate_gain": Threshold("share", 0.08, at_least=True),
        "warming_requests": Threshold("an hour", 200),
        "unwarmed_hit_rate": Threshold("share"),
        "warmed_hourly_hit_rate": Threshold("share"),
        "warmed_hourly_requests": Threshold("an hour"),
    },
    "worker_failures": {
        "cache_worker_kill9_lost": Threshold("jobs", 0),
        "cache_worker_kill9_done_s": Threshold("s", 130),
        "sigterm_exit_s": Threshold("s", 5),
        "sigterm_lost": Threshold("jobs", 0),
        "broker_away_added_ms": Threshold("ms", 50),
        "broker_away_failures": Threshold("answers", 0),
        "broker_away_lost": Threshold("rows", 0),
    },
}

PLOTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "peer_comparison": {"Reads at Cal.com for the same conversations": [f"peers_reads_{peer}" for peer in PEERS]},
    "stale_offers": {"Stale offers in a day of changes": list(THRESHOLDS["stale_offers"])},
    "warming_benefit": {"Answers without waiting": ["unwarmed_hit_rate", "warmed_hourly_hit_rate", "warmed_hit_rate"]},
}
"""Bars by title, by group."""
