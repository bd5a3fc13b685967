"""What is timed, what is compared, what is shown on real data; not part of the installed package."""
