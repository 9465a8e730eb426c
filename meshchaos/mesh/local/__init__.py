"""The embedded mesh: Envoy processes, translation of Istio objects, certificates, object store, stub workloads."""
