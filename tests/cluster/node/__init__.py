"""A real Kubernetes with a real Istio on this machine alone: one node, without a container engine or an image registry.

Programs come from Debian's packages, PyPI and the Go module proxy; images are made of them here. The node is one
network namespace with no way out of the machine. ``python -m tests.cluster.node`` lists what can be done;
docs/cluster-tier.md says what is unreal about it.
"""
