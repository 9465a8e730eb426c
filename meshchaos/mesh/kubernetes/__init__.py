"""The mesh on a cluster: Istio on Kubernetes behind the seam ``Mesh``.

``api`` alone knows the official client; everything else speaks in manifests and paths. What a run writes goes through
``client``, which asks the lock first; what it adds to see (access logs) is journalled like a fault and goes with it.
"""
