"""Istio's standard metrics, for each proxy where Istio's sidecars serve them: ``<address>:15020/stats/prometheus``.

They come from Istio's own filter ``istio.stats``, which only Istio's build of Envoy has. Here they are counted from the
proxy's access log, when somebody asks, by the rules of that filter (``istio/proxy``,
``source/extensions/filters/http/istio_stats``): one line of the log is one request, so that counters and log agree
exactly. Envoy's own statistics follow behind them.
"""
