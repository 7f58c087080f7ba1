using System.Globalization;

namespace Librarian.Functions.Hosting;

/// <summary>
/// A name that no other process ever has, and that processes of the same user on the same machine can check (proc(5), pid_namespaces(7)).
/// </summary>
/// <param name="Machine">Host name, for readers of the table.</param>
/// <param name="ProcessId">Process id within the PID namespace.</param>
/// <param name="User">Account; processes of other accounts may be hidden (proc(5), hidepid).</param>
/// <param name="Boot">The kernel's id of this boot; containers on one machine share it.</param>
/// <param name="Namespace">The PID namespace.</param>
/// <param name="Started">Start in clock ticks after boot; 0 if unknown. A process id is used again, but not with the same start.</param>
public sealed record ProcessIdentity(string Machine, int ProcessId, string User, string Boot, string Namespace, long Started)
{
    public static ProcessIdentity Current { get; } = Of(Environment.ProcessId);

    /// <summary>Returns the identity of a process of this user in this PID namespace.</summary>
    public static ProcessIdentity Of(int processId) =>
        new(
            Environment.MachineName,
            processId,
            Environment.UserName,
            Read("/proc/sys/kernel/random/boot_id") ?? "",
            new FileInfo("/proc/self/ns/pid").LinkTarget ?? "",
            StartTicks(Read(StatOf("/proc", processId)))
        );

    /// <summary>
    /// True if the process with that name has certainly ended. False for a process that lives, that was not started by this user on this
    /// boot of this machine in this container, whose name was not made by <see cref="ToString"/>, or that cannot be looked up now (for
    /// example, because file descriptors have run out).
    /// </summary>
    /// <param name="name">The name as stored in a table.</param>
    /// <param name="folder">The directory where the kernel shows processes.</param>
    public static bool HasEnded(string name, string folder = "/proc")
    {
        ArgumentNullException.ThrowIfNull(name);
        if (
            name.Split('|') is not [_, var id, { Length: > 0 } user, { Length: > 0 } boot, { Length: > 0 } space, var started, ..]
            || user != Current.User
            || boot != Current.Boot
            || space != Current.Namespace
            || Current.Started == 0
            || !int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var process)
            || !long.TryParse(started, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
            || ticks == 0
        )
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
        // Unknown; the next check may tell. This includes a process that ended between open and read (ESRCH).
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>
    /// True if the process with that name certainly runs: this user started it on this boot of this machine in this container, and it is
    /// there.
    /// </summary>
    /// <param name="name">The name as stored in a table.</param>
    public static bool IsRunning(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.Split('|') is [_, var id, { Length: > 0 } user, { Length: > 0 } boot, { Length: > 0 } space, var started, ..]
            && user == Current.User
            && boot == Current.Boot
            && space == Current.Namespace
            && int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var process)
            && long.TryParse(started, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
            && ticks != 0
            && StartTicks(Read(StatOf("/proc", process))) == ticks;
    }

    /// <summary>The name as stored in tables. To make more than one name per process, append to it after another bar.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Machine}|{ProcessId}|{User}|{Boot}|{Namespace}|{Started}");

    private static string StatOf(string folder, int process) => string.Create(CultureInfo.InvariantCulture, $"{folder}/{process}/stat");

    // Field 22. The second field, in parentheses, may contain spaces and parentheses.
    private static long StartTicks(string? stat) =>
        stat is null
            ? 0
            : long.Parse(
                stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[19],
                CultureInfo.InvariantCulture
            );

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        // Without /proc, this process gets a name for which no check ever says that it has ended.
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
