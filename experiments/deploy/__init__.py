"""``fedjtt deploy``: the same apps on real hosts, by Flower's own SuperLink, SuperNodes, TLS and node keys."""
