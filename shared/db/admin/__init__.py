"""What operators read and start: bulk actions, the audit log, figures by the minute."""
