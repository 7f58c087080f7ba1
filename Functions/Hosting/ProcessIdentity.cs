using System.Globalization;

namespace Librarian.Functions.Hosting;

/// <summary>
/// A name that no other process ever has and that processes of the same user on the same machine can check (proc(5), pid_namespaces(7)).
/// </summary>
/// <param name="Machine">Host name, for readers of the table.</param>
/// <param name="ProcessId">Within the PID namespace.</param>
/// <param name="User">Processes of others may be hidden (proc(5), hidepid).</param>
/// <param name="Boot">The kernel's id of this boot; containers on one machine share it.</param>
/// <param name="Namespace">The PID namespace.</param>
/// <param name="Started">Start time in clock ticks after boot: a process id is used again, but not with this; 0 when unknown.</param>
public sealed record ProcessIdentity(string Machine, int ProcessId, string User, string Boot, string Namespace, long Started)
{
    /// <summary>This process.</summary>
    public static ProcessIdentity Current { get; } = Of(Environment.ProcessId);

    /// <summary>A process of this user in this PID namespace.</summary>
    public static ProcessIdentity Of(int processId) => new(Environment.MachineName, processId, Environment.UserName,
        Read("/proc/sys/kernel/random/boot_id") ?? "", new FileInfo("/proc/self/ns/pid").LinkTarget ?? "", StartTicks(Read(StatOf("/proc", processId))));

    /// <summary>
    /// True when the process with that name has certainly ended. False for one that lives, that was not started by this user on this boot
    /// of this machine in this container, whose name was not made by <see cref="ToString"/>, or that cannot be looked up just now (say, for
    /// want of file descriptors).
    /// </summary>
    /// <param name="name">The name as it stands in a table.</param>
    /// <param name="folder">Where the kernel tells of processes.</param>
    public static bool HasEnded(string name, string folder = "/proc")
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Split('|') is not [_, var id, { Length: > 0 } user, { Length: > 0 } boot, { Length: > 0 } space, var started, ..]
            || user != Current.User || boot != Current.Boot || space != Current.Namespace || Current.Started == 0
            || !int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var process)
            || !long.TryParse(started, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks) || ticks == 0)
        {
            return false;
        }

        try
        {
            return StartTicks(File.ReadAllText(StatOf(folder, process))) != ticks;
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return true;
        }
        // Not known; the next look may tell. Among them: it ended between open and read (ESRCH).
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The name, as it stands in tables; whoever needs more than one per process appends to it with another bar.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Machine}|{ProcessId}|{User}|{Boot}|{Namespace}|{Started}");

    private static string StatOf(string folder, int process) => string.Create(CultureInfo.InvariantCulture, $"{folder}/{process}/stat");

    // Field 22; the second, in parentheses, may hold spaces and parentheses.
    private static long StartTicks(string? stat) => stat is null ? 0
        : long.Parse(stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[19], CultureInfo.InvariantCulture);

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        // No /proc: this process then has a name of which nobody says that it has ended.
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
