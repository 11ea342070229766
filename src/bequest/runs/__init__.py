"""How a study is run: its folder, its jobs, the processes that do them."""
