"""Who is the minority: pure functions from predictions to error sets."""
