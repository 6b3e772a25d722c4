"""What `manage.py doctor` looks at, probe by probe; each goes on whatever the others meet."""
