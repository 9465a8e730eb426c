"""The object side of the local mesh: what ``kubectl apply``, the API server and the controllers are to a cluster.

::

    objects = manifests.load([Path("experiments/bookinfo")])    # read, checked, completed; FileError, UserError
    store = Store(admission=..., changed=...)                    # uid, resourceVersion, conflicts, vetoes
    store.load(objects)                                          # all or nothing; their order is their age
    plan = controller.reconcile(store.objects(), used)           # Deployments -> Pods to create and to remove
    istio.injection.role_of(pod)                                 # "plain", "sidecar" or "gateway"

What the local mesh takes of an object is said by the tables in ``kinds``, one module for a big kind; ``validate``
refuses what is not in them by name. No processes, sockets or proxies here; only ``manifests`` reads files.
"""
