"""What users bring: files, labels, numbers and command lines, right and wrong."""
