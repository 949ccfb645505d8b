"""--launcher ray: what can be said without a cluster, and the tests that need one."""
