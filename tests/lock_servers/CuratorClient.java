// Curator's own InterProcessMutex, told what to do by lines on stdin; ends when stdin does.
//
//   <thread> acquire <path> <ms>   ->  <thread> inside <node>  |  <thread> timeout
//   <thread> release <path>        ->  <thread> released
//   <thread> contend <path> <n> <door>  ->  <thread> contended <n> overlaps <k>
//
// Each thread is an owner of its own, as Curator sees it. The door is a node that whoever is inside must find
// free. An exception is answered with `<thread> failed <what>`.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;

public class CuratorClient {
    /** The real one; only the name of its node is made public. */
    static final class Mutex extends InterProcessMutex {
        Mutex(CuratorFramework client, String path) {
            super(client, path);
        }

        String node() throws Exception {
            String path = getLockPath();
            return path.substring(path.lastIndexOf('/') + 1);
        }
    }

    private static final Map<String, Mutex> mutexes = new ConcurrentHashMap<>();
    private static final Map<String, ExecutorService> threads = new ConcurrentHashMap<>();
    private static CuratorFramework client;

    public static void main(String[] arguments) throws Exception {
        client = CuratorFrameworkFactory.builder()
            .connectString(arguments[0])
            .sessionTimeoutMs(Integer.parseInt(arguments[1]))
            .connectionTimeoutMs(10_000)
            .retryPolicy(new RetryNTimes(50, 100))
            .build();
        client.start();
        if (!client.blockUntilConnected(20, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no connection to " + arguments[0]);
        }
        say("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            threads.computeIfAbsent(words[0], name -> Executors.newSingleThreadExecutor())
                .execute(() -> say(words[0] + " " + answer(words)));
        }
        System.exit(0);
    }

    private static String answer(String[] words) {
        Mutex mutex = mutexes.computeIfAbsent(words[2], path -> new Mutex(client, path));
        try {
            switch (words[1]) {
                case "acquire":
                    boolean inside = mutex.acquire(Long.parseLong(words[3]), TimeUnit.MILLISECONDS);
                    return inside ? "inside " + mutex.node() : "timeout";
                case "release":
                    mutex.release();
                    return "released";
                case "contend":
                    return contend(mutex, Integer.parseInt(words[3]), words[4]);
                default:
                    return "failed unknown command " + words[1];
            }
        } catch (Exception e) {
            return "failed " + e;
        }
    }

    private static String contend(Mutex mutex, int times, String door) throws Exception {
        int overlaps = 0;
        for (int at = 0; at < times; at++) {
            mutex.acquire();
            try {
                client.create().withMode(CreateMode.EPHEMERAL).forPath(door);
                client.delete().forPath(door);
            } catch (KeeperException.NodeExistsException | KeeperException.NoNodeException e) {
                overlaps++;
            } finally {
                mutex.release();
            }
        }
        return "contended " + times + " overlaps " + overlaps;
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
