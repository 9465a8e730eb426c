"""The object side of the local mesh: what ``kubectl apply`` and the API server are to a cluster.

::

    located = manifests.read([Path("experiments/bookinfo")])    # files -> objects with file and line, all checked
    store = Store(admission=..., changed=...)                    # uid, resourceVersion, conflicts, vetoes
    store.load([*builtin.gateways(objects), *objects])           # all or nothing; their order is their age
    plan = controller.reconcile(store.objects(), used)           # Deployments -> Pods to create and to remove

No processes, sockets or proxies here; only ``manifests`` reads files.
"""
