"""`atelier demo`: one painting from start to finish, with pictures of its own."""
