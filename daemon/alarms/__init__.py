"""Timers, alarms and reminders: kept through restarts, and told when they are due."""
