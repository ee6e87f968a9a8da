"""Administration: bulk actions, the audit log and statistics by the minute."""
