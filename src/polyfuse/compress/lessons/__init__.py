"""What a student learns of its teacher, a file each."""
