"""How far one box goes as the coordinator of a cluster: measured costs, and a simulation made of them."""
